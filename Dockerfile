# The steps are npm scripts, so that the tests take the same ones without a container.

FROM node:22-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run image:pack -- /packed
RUN npm run image:install -- /packed /app

FROM node:22-bookworm-slim
WORKDIR /app
COPY --from=build /app ./
# Embedded backing only: what must outlive the container.
RUN install -d -o node -g node /var/lib/websocketmanager
VOLUME /var/lib/websocketmanager
USER node
# A container is reached from outside or not at all; for that the manager asks for WSM_API_TOKEN.
# Threads: names that the process itself asks the system for (peers, collectors) may hang in half of them.
ENV NODE_ENV=production \
    UV_THREADPOOL_SIZE=16 \
    WSM_HOST=0.0.0.0 \
    WSM_DATA_DIR=/var/lib/websocketmanager
EXPOSE 5001 5002
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["node", "health.mjs"]
# No shell and no init before it: the process handles SIGTERM and SIGINT itself (it drains, then ends), and has no children.
ENTRYPOINT ["node", "node_modules/websocketmanager/dist/main.js"]
CMD ["serve"]
