# The rsync daemon beside `files`: our program, a static one, and Debian's rsync, which it runs. There is no shell.
# The build context is a folder with both: `rsyncd`, and `debian`, as `cargo xtask images` makes it (the list of files is in
# xtask/src/images/debian.rs; an image `FROM debian:bookworm-slim` with the package rsync does as well, and is much larger).
FROM scratch
LABEL org.opencontainers.image.title="workspacefs rsync" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY debian/ /
COPY rsyncd /rsyncd
# The operator says as whom it runs: the owner of the file system.
USER 65532:65532
ENTRYPOINT ["/rsyncd"]
