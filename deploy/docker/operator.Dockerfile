# The operator: one static program and nothing else.
# The build context is the folder that holds the static binary; CONTRIBUTING.md says how it is made.
FROM scratch
LABEL org.opencontainers.image.title="workspacefs operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY operator /operator
USER 65532:65532
ENTRYPOINT ["/operator"]
