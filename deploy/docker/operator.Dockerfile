# The operator, and the movers that it sends: two static programs and nothing else.
# The build context is the folder that holds them; CONTRIBUTING.md says how it is made.
FROM scratch
LABEL org.opencontainers.image.title="workspacefs operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY operator mover /
USER 65532:65532
ENTRYPOINT ["/operator"]
