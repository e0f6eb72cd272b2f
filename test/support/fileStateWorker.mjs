/**
 * A process that writes to the file store: `node fileStateWorker.mjs <dist> <dataDir> <command> …`
 *
 *   increment KEY N   once KEY is there, N compare-and-set increments; prints how many races it lost
 *   churn KEY         for ever: counter and text of one key, grown and shrunk; prints each counter once it is acknowledged
 */
const [dist, dataDir, command, key, count] = process.argv.slice(2)
const load = (file) => import(`${dist}/${file}`)
const [Effect, Layer, Context, Option] = await Promise.all(
  ["Effect", "Layer", "Context", "Option"].map((name) => import(`effect/${name}`))
)
const FileState = await load("adapters/embedded/FileState.js")
const { StateStore } = await load("ports/StateStore.js")

const incrementAll = (store) =>
  Effect.gen(function* () {
    while (Option.isNone(yield* store.get(key))) yield* Effect.sleep(1)
    let lost = 0
    for (let done = 0; done < Number(count);) {
      const { value, version } = Option.getOrThrow(yield* store.get(key))
      // Between reading and writing the others get their chance.
      yield* Effect.sleep(0)
      const result = yield* Effect.either(store.replace(key, String(Number(value) + 1), version))
      if (result._tag === "Right") done += 1
      else if (result.left._tag === "VersionMismatch") lost += 1
      else return yield* result
    }
    process.stdout.write(`lost ${lost}\n`)
  })

const churn = (store) =>
  Effect.gen(function* () {
    let version = yield* store.create(key, JSON.stringify({ n: 0, text: "" }))
    for (let n = 1; ; n++) {
      const text = String(n % 10).repeat(1 + ((n * 7919) % 60_000))
      version = yield* store.replace(key, JSON.stringify({ n, text }), version)
      process.stdout.write(`${n}\n`)
    }
  })

process.stdout.write("ready\n")
await Effect.runPromise(
  Effect.scoped(
    Effect.flatMap(Layer.build(FileState.layer(dataDir)), (context) =>
      (command === "increment" ? incrementAll : churn)(Context.get(context, StateStore))
    )
  )
)
