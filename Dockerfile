FROM python:3.11-slim AS tools

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

FROM tools AS project

WORKDIR /bmix
COPY . .
RUN make install

CMD ["make", "repro"]
