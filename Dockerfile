# syntax=docker/dockerfile:1
# The lookup API: docker build -t item2vec . && docker run … (README, "The container"). Serving only: what trains
# is not in the image, and the run's folder is mounted.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

# Annoy is compiled for the machine that builds it (-march=native) and ends with an illegal instruction on an older
# one; and -ffast-math, its other default, has lost neighbours. x86-64-v3 is every x86 server since 2015 or so;
# --build-arg MARCH=x86-64-v2 for older ones, MARCH=armv8-a for ARM.
ARG MARCH=x86-64-v3
ENV ANNOY_COMPILER_ARGS=-D_CRT_SECURE_NO_WARNINGS,-fpermissive,-march=${MARCH},-O3,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14

WORKDIR /src
RUN python -m venv /opt/item2vec
COPY constraints.txt docker/requirements.txt ./
# Without a cache: a wheel of Annoy from elsewhere would be another machine's.
RUN /opt/item2vec/bin/python -m pip install --no-cache-dir --no-binary annoy --constraint constraints.txt --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/item2vec/bin/python -m pip install --no-cache-dir --no-deps .

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN groupadd --gid 10001 item2vec \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin item2vec \
 && install --directory --owner=10001 --group=10001 /history
COPY --from=build /opt/item2vec /opt/item2vec
ENV PATH=/opt/item2vec/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /history
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["item2vec"]
CMD ["serve", "/runs/demo", "--host", "0.0.0.0", "--port", "8000", "--token-file", "/run/secrets/item2vec_token", "--history", "/history/history.db"]
