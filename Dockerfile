# Two images: `pulse`, the server, and `gateway`, Envoy with what it needs to know of Pulse.
#
#   docker build --target pulse -t pulse .
#   docker build --target gateway -t pulse-gateway .

FROM node:22-bookworm-slim AS node

FROM rust:1.95-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
# With npm at hand the build takes the web UI in.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin pulse \
    && install -D target/release/pulse /out/pulse \
    && /out/pulse descriptors > /out/pulse.binpb \
    && install -d /out/data

# Envoy as published, and the script that fills in its configuration.
FROM envoyproxy/envoy:v1.40.0 AS gateway
COPY --from=build /out/pulse.binpb /opt/pulse/pulse.binpb
COPY envoy /opt/pulse/envoy
COPY scripts/gateway /opt/pulse/scripts/gateway
# hadolint ignore=DL3066
USER envoy
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/bin/bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["/opt/pulse/scripts/gateway", "--descriptors", "/opt/pulse/pulse.binpb"]
CMD ["--listen", "0.0.0.0:8080", "pulse:50051"]

# No shell, no package manager, an ordinary user.
FROM gcr.io/distroless/cc-debian12:nonroot AS pulse
COPY --from=build /out/pulse /usr/local/bin/pulse
COPY --from=build --chown=nonroot:nonroot /out/data /data
ENV PULSE_LISTEN=0.0.0.0:50051 PULSE_DATA_DIR=/data
VOLUME /data
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/pulse", "health"]
ENTRYPOINT ["/usr/local/bin/pulse"]
CMD ["serve"]
