# One image with every binary; a container says which one it runs.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --workspace --exclude testbed --exclude e2e --exclude bench --exclude load --bins && \
    mkdir /binaries && \
    find target/release -maxdepth 1 -type f -executable -exec cp {} /binaries/ \;

FROM debian:bookworm-slim
# For amqps, rediss and smtps.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /binaries/ /usr/local/bin/
USER 10001:10001
CMD ["gateway"]
