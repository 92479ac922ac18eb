# The node plugin and, from the same image, the controller: one static program, and what the plugin runs of Debian to format
# local disks: blkid, mkfs.xfs and mkfs.ext4.
# The build context is a folder with both: `csi-driver`, and `debian`, as `cargo xtask images` makes it (the list of files is in
# xtask/src/images/debian.rs; an image `FROM debian:bookworm-slim` with the packages e2fsprogs, xfsprogs and util-linux does as
# well, and is much larger).
FROM scratch
LABEL org.opencontainers.image.title="workspacefs node" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY debian/ /
COPY csi-driver /csi-driver
ENV PATH=/usr/bin:/usr/sbin
# Mounting and formatting take root; the chart says what more it takes and why.
USER 0:0
ENTRYPOINT ["/csi-driver"]
