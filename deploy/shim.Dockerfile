# The agent endpoint: for one agent (HUB_AGENT_ID is set), or as the gateway of all. Nothing of the
# pool is in it. Built from the repository's root: docker build -f deploy/shim.Dockerfile -t artic-shim .
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/shim.lock /tmp/shim.lock
RUN python -m pip install --quiet --no-deps --require-hashes --target /shim -r /tmp/shim.lock
COPY agent_shim /shim/agent_shim
RUN rm -rf /shim/bin && python -m compileall -q /shim

FROM python:3.11-slim
COPY --from=build /shim /shim
ENV PYTHONPATH=/shim PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ARTIC_LOG_FORMAT=json ARTIC_SHIM_HOST=0.0.0.0
USER 65532:65532
WORKDIR /
EXPOSE 8000
# -S: site is not looked for, which saves time and memory
ENTRYPOINT ["python", "-S", "-m", "agent_shim"]
HEALTHCHECK --interval=2s --timeout=2s --start-period=1s --retries=5 \
    CMD ["python", "-S", "-m", "agent_shim.probe"]
