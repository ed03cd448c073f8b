# syntax=docker/dockerfile:1
# The one binary. Built on the Debian that it runs on, so that glibc agrees.

FROM rust:1.95-bookworm AS build
# rdkafka compiles librdkafka with its own configure script; the Rust image has
# the C and C++ compilers, make, zlib and OpenSSL for it.
WORKDIR /src
COPY . .
# The caches outlive the layer: a change in one crate compiles that crate.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p mypay \
    && install -D target/release/mypay /out/mypay

FROM debian:bookworm-slim
# zlib and OpenSSL are linked dynamically; curl is for the health check in docker-compose.yml.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 mypay
COPY --from=build /out/mypay /usr/local/bin/mypay
USER mypay
# No shell between: SIGTERM reaches the program, which then leaves its consumer
# group and finishes its batch.
ENTRYPOINT ["mypay"]
CMD ["--help"]
