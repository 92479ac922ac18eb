# The node plugin and, from the same image, the controller: one static program and nothing else.
# The build context is the folder that holds the static binary; CONTRIBUTING.md says how it is made.
FROM scratch
LABEL org.opencontainers.image.title="workspacefs node" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY csi-driver /csi-driver
# Mounting takes root; the chart says what more it takes and why.
USER 0:0
ENTRYPOINT ["/csi-driver"]
