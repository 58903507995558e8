# Holdfast in a container: both processes have an image of this one, see docker-compose.yml.
#
# Media comes in by plain sockets here (media.ingest = "udp"): a packet ring needs CAP_NET_RAW in the
# host's network namespace, and is what appliances run outside of containers. The engine's executor is
# io_uring, which Docker's default seccomp profile forbids: the compose file permits it for the engine
# alone. An engine that may not use it says so in its log and ends.
FROM rust:1.88-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins -p holdfast -p holdfast-media -p holdfast-signaling

FROM debian:bookworm-slim
# One user for both: what the processes keep for each other is their user's.
RUN groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/holdfast holdfast \
    && install -d -o holdfast -g holdfast -m 2770 /var/lib/holdfast /run/holdfast /etc/holdfast
COPY --from=build /src/target/release/holdfast /src/target/release/holdfast-media /src/target/release/holdfast-signaling /usr/local/bin/
COPY config/docker/holdfast.toml /etc/holdfast/holdfast.toml
USER 10001:10001
WORKDIR /var/lib/holdfast
VOLUME ["/var/lib/holdfast"]
# SIP, HTTP, media.
EXPOSE 5060/udp 5060/tcp 8080/tcp 10000-10199/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["holdfast", "status", "--config", "/etc/holdfast/holdfast.toml"]
CMD ["holdfast-signaling", "--config", "/etc/holdfast/holdfast.toml"]
