/** The five tag operations. A change is in the store before it is answered; reading one's own costs nothing. */
import * as Effect from "effect/Effect"
import type { ErrorOf } from "../../domain/Methods.js"
import { checkId, checkTag, checkTagKey, checkTags } from "../../domain/validation/Validate.js"
import { checked, elsewhere, type ManagerContext, owned, stillOwned } from "../connection/ManagerContext.js"

type Tags = Readonly<Record<string, string>>

const write = (
  core: ManagerContext,
  id: string,
  change: (tags: Tags) => Tags
): Effect.Effect<void, ErrorOf<"SetTags">> =>
  Effect.gen(function* () {
    const c = yield* owned(core, id)
    const changed = Effect.gen(function* () {
      yield* stillOwned(core, c)
      const tags = yield* checked(checkTags(change(c.tags())))
      yield* core.store.update(c.owned, { tags })
    })
    yield* c.changing.run(changed)
  })

export const getTags = (core: ManagerContext, id: string): Effect.Effect<Tags, ErrorOf<"GetTags">> =>
  Effect.gen(function* () {
    const canonical = yield* checked(checkId(id))
    return core.connections.get(canonical)?.tags() ?? (yield* elsewhere(core, canonical)).tags
  })

export const getTag = (
  core: ManagerContext,
  id: string,
  key: string
): Effect.Effect<string | undefined, ErrorOf<"GetTag">> =>
  Effect.zipRight(
    checked(checkTagKey(key)),
    Effect.map(getTags(core, id), (tags) => (Object.hasOwn(tags, key) ? tags[key] : undefined))
  )

export const setTag = (
  core: ManagerContext,
  id: string,
  key: string,
  value: string
): Effect.Effect<void, ErrorOf<"SetTag">> =>
  Effect.zipRight(
    checked(checkTag(key, value)),
    write(core, id, (tags) => ({ ...tags, [key]: value }))
  )

export const setTags = (core: ManagerContext, id: string, tags: Tags): Effect.Effect<void, ErrorOf<"SetTags">> =>
  write(core, id, () => tags)

export const deleteTag = (core: ManagerContext, id: string, key: string): Effect.Effect<void, ErrorOf<"DeleteTag">> =>
  Effect.zipRight(
    checked(checkTagKey(key)),
    write(core, id, (tags) => Object.fromEntries(Object.entries(tags).filter(([k]) => k !== key)))
  )
