# `files`, which the operator runs for each FileSystem, and the gateway, `dashboard`: two static programs and nothing else. The roots
# of the web's authorities, by which imports know whom they read from, are in the programs.
# The build context is the folder that holds them; CONTRIBUTING.md says how it is made.
FROM scratch
LABEL org.opencontainers.image.title="workspacefs files" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY files dashboard /
USER 65532:65532
ENTRYPOINT ["/files"]
