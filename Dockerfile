# docker build --tag replay . && docker run --rm --volume "$PWD:/work" replay try phone.pcapng
FROM rust:1-slim-trixie AS build
COPY . /src
RUN cargo install --locked --path /src/replay-cli --root /out

FROM debian:trixie-slim
COPY --from=build /out/bin/replay /usr/local/bin/replay
WORKDIR /work
ENTRYPOINT ["replay"]
