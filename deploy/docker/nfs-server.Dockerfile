# The embedded NFS server: our agent, a static program, and what it runs of Debian: NFS-Ganesha, mkfs.xfs and the like.
# The build context is a folder with both: `nfs-server`, and `debian`, as `cargo xtask images` makes it (the list of files
# is in xtask/src/images/debian.rs; an image `FROM debian:bookworm-slim` with the packages nfs-ganesha, nfs-ganesha-vfs,
# xfsprogs and util-linux does as well, and is eight times as large).
FROM scratch
LABEL org.opencontainers.image.title="workspacefs NFS server" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY debian/ /
COPY nfs-server /usr/bin/nfs-server
ENV PATH=/usr/bin:/usr/sbin
# Formatting, mounting and serving everybody's files takes root; the chart says what more it takes and why.
USER 0:0
ENTRYPOINT ["/usr/bin/nfs-server"]
