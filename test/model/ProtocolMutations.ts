/** Ways to break the protocol: "What goes wrong without it", rule by rule. */
import { edit, type Mutation } from "./Edits.js"

export const PROTOCOL: ReadonlyArray<Mutation> = [
  {
    name: "pages are not sealed",
    edits: [
      edit("ownership/takeover/SealPages.ts", "if (found !== undefined && page.sealed)", "if (found !== undefined)"),
      edit(
        "ownership/takeover/SealPages.ts",
        "      there.push({ n: from + i, found: at })\n",
        "      if (at !== undefined) there.push({ n: from + i, found: at })\n"
      ),
      edit("ownership/takeover/SealPages.ts", "if (sealed.at(-1)?.page.end === true) return sealed", "return sealed")
    ],
    found: "a page that is made late"
  },
  {
    name: "a third, dead owner on the victim's page is skipped",
    edits: [
      edit(
        "ownership/takeover/Reconcile.ts",
        "    if (ended !== undefined) {\n      return Effect.succeed<Disposition>",
        "    if (ended !== undefined && former.isIt({ id: stored.owner, incarnation: stored.incarnation })) {\n      return Effect.succeed<Disposition>"
      )
    ],
    found: "a third, dead owner"
  },
  {
    name: "a tombstone is not put",
    edits: [
      edit(
        "ownership/takeover/Reconcile.ts",
        "    if (version !== undefined && former.renewed.has(version)) return",
        "    if (version === undefined || former.renewed.has(version)) return"
      )
    ],
    found: "a late create of who has died"
  },
  {
    name: "a tombstone is not renewed",
    edits: [
      edit(
        "ownership/takeover/Reconcile.ts",
        "    if (version !== undefined && former.renewed.has(version)) return",
        "    if (version !== undefined) return"
      )
    ],
    found: "a late create over a tombstone"
  },
  {
    name: "an offer to whom is taken over is not withdrawn",
    edits: [
      edit(
        "ownership/takeover/Reconcile.ts",
        'former.isIt(offered.handover) && (ended === undefined || ended === "mine")',
        "former === undefined"
      )
    ],
    found: "a late claim of an offer"
  },
  {
    name: "a lost claim is taken for somebody else's success",
    edits: [
      edit(
        "ownership/takeover/Takeover.ts",
        'sorted.some((one) => one !== "done")',
        'sorted.some((one) => one === "open")'
      ),
      edit(
        "ownership/takeover/Claim.ts",
        "if (stored !== undefined && ended === undefined && !tenure.retained.has(id))",
        "if (stored !== undefined && (ended === undefined || ended !== undefined) && !tenure.retained.has(id))"
      )
    ],
    found: "a claim that is lost to a late write"
  },
  {
    name: "a takeover is answered from memory",
    edits: [
      edit(
        "ownership/takeover/Takeover.ts",
        '      if (tenure.retained.has(id) || context.busy.has(id) || context.pendingRemoval.has(id)) return "open"\n',
        '      if (context.owned.has(id)) return "done"\n      if (tenure.retained.has(id) || context.busy.has(id) || context.pendingRemoval.has(id)) return "open"\n'
      )
    ],
    found: "what an instance believes to own"
  },
  {
    name: "a write is repeated without a lease",
    edits: [
      edit("state/GuardedWrite.ts", "if (!write.mayWrite()) {", "if (!write.mayWrite() && !unknown) {"),
      // of a create the store would be asked first
      edit("state/GuardedWrite.ts", "if (unknown && expected === undefined && !", "if (!unknown && !")
    ],
    found: "a write is repeated under a lease only"
  },
  {
    name: "the index entry is not rewritten at joining",
    edits: [
      edit(
        "membership/Membership.ts",
        "        return { ...ids, [id]: life.incarnation }\n",
        "        return id in ids ? undefined : { ...ids, [id]: life.incarnation }\n"
      )
    ],
    found: "the index entry is written at every joining"
  },
  {
    name: "an index entry is removed by its id alone",
    edits: [
      edit(
        "ownership/takeover/IndexCleanup.ts",
        "([id, incarnation]) => gone[id] !== incarnation)",
        "([id]) => !(id in gone))"
      )
    ],
    found: "the index entry of somebody taken over"
  },
  {
    name: "an index entry is removed with ids left",
    edits: [
      edit(
        "membership/Membership.ts",
        'if (life.endedBy() !== "left" || !holdings.empty()) return',
        'if (life.endedBy() !== "left") return'
      )
    ],
    found: "who leaves with ids on its pages"
  },
  {
    name: "`left` is the last word while a write is on its way",
    edits: [
      edit(
        "ownership/ConnectionStore.ts",
        "return open === 0 && tenure?.life === lease.life() && tenure.pages.empty()",
        "return tenure?.pages.ids().length === 0"
      )
    ],
    found: "who leaves with a write on its way"
  },
  {
    name: "nobody is told of a life that ends before its pages are its own",
    edits: [
      edit("ownership/records/PageTenures.ts", "Deferred.fail(tenure.adopted, Pages.LIFE_ENDED)", "Effect.void"),
      edit(
        "manager/connection/IncarnationLoop.ts",
        "        yield* Effect.raceFirst(life.awaitEnd, work)",
        "        yield* claimFormer(core)\n        yield* Effect.raceFirst(life.awaitEnd, work)"
      )
    ],
    found: "a life that ends before its pages"
  },
  {
    name: "the silence of those who do not count a stranger is counted",
    edits: [
      edit("membership/peers/PeerLinks.ts", "      else if (acts) known.triedAt = now\n", "      else void acts\n")
    ],
    found: "a stranger says hello"
  },
  {
    name: "who waits for an id counts the silence of its holder, which does not count it",
    edits: [edit("membership/Join.ts", "if (greeting.value.acts) seen.heardAt = elapsed.mark().monotonic", "")],
    found: "one waits for an id"
  },
  {
    name: "a hello is believed without a record",
    edits: [
      edit(
        "membership/peers/MembershipView.ts",
        "  const counted = view.hear(from)\n",
        "  if (!view.peers.has(from.id)) {\n" +
          "    const now = elapsed.mark().monotonic\n" +
          "    const record = { ...from, status: 'alive', beat: 0, ttlMs: 6000, intervalMs: 2000 }\n" +
          "    view.appear({ ...from, record, version: '', since: now, changedAt: now } as never)\n  }\n" +
          "  const counted = view.hear(from)\n"
      )
    ],
    found: "a liar says hello, in any name",
    kind: "P6"
  },
  {
    name: "a hello ends what one alone extends",
    edits: [
      edit(
        "membership/peers/PeerRenewal.ts",
        "else if (view.lastGood !== undefined) life.extendAlone",
        "else if (view.greeters.size === 0) life.extendAlone"
      )
    ],
    found: "a liar says hello to one alone",
    kind: "P6"
  },
  {
    name: "a member that says `fenced` is believed against the store",
    edits: [edit("membership/peers/PeerRenewal.ts", "if (Option.isSome(read)) {", "if (Option.isNone(read)) {")],
    found: "a member that lies says",
    kind: "P6"
  },
  {
    name: "a copy of a living record is another instance",
    edits: [
      edit("domain/stored/InstanceRecord.ts", "(record) => record.id === id,", "(record) => record.id !== '',"),
      edit("membership/peers/Holders.ts", "    if (id === me.id) return false\n", "    if (id !== '') return false\n")
    ],
    found: "a copy of a living record",
    kind: "P2"
  },
  {
    name: "every id of the index is read",
    edits: [edit("domain/stored/InstanceRecord.ts", "isInstanceId(entry[0]) && typeof", "entry[0] !== '' && typeof")],
    found: "an index that names what can be no instance",
    kind: "P2"
  },
  {
    name: "a lapsed lease is revived by a peer's answer, or by being alone",
    edits: [
      edit(
        "membership/lease/Incarnation.ts",
        "if (this.valid()) this.#alone = mark",
        "this.#lapsed = false\n    this.#alone = mark"
      ),
      edit("membership/lease/Incarnation.ts", "if (!this.valid() || (before", "if (this.ended() || (before"),
      edit(
        "membership/lease/Incarnation.ts",
        "    this.#grants.set(incarnation, mark)\n",
        "    this.#grants.set(incarnation, mark)\n    this.#lapsed = false\n"
      ),
      edit(
        "membership/peers/PeerRenewal.ts",
        "+ periods.eighth || !life.valid()) continue",
        "+ periods.eighth) continue"
      ),
      edit("membership/peers/PeerRenewal.ts", "        if (!life.valid()) return\n", ""),
      edit("membership/peers/PeerRenewal.ts", '"PeerRefused" && life.valid())', '"PeerRefused")')
    ],
    found: "a lease that ran out is renewed by a beat only"
  },
  {
    name: "a lease counts from the last sending of a repeated beat",
    edits: [edit("membership/lease/Heartbeat.ts", "sent.get(record.right.nonce))", "[...sent.values()].at(-1))")],
    found: "a lease counts from the sending"
  },
  {
    name: "a joiner overwrites its own fenced record with the same incarnation",
    edits: [
      edit(
        "membership/Join.ts",
        "if (own.has(view.incarnation)) view.incarnation = uuidv7(elapsed.now())",
        "void uuidv7"
      )
    ],
    found: "a joiner whose first record was fenced"
  },
  {
    name: "a joiner overwrites a live record without waiting",
    edits: [
      edit(
        "membership/Join.ts",
        "if (isFree(record)) return yield* begin(version)",
        "if (isFree(record) || version !== undefined) return yield* begin(version)"
      )
    ],
    found: "an id in use by a living incarnation"
  },
  {
    name: "epoch 1 again after an expired tombstone",
    edits: [
      edit(
        "domain/stored/ConnectionRecord.ts",
        "Math.max(old + 1, Math.floor(nowMillis / 1000))",
        "Math.max(old + 1, nowMillis > 0 ? 0 : 1)"
      )
    ],
    found: "an epoch grows over a tombstone"
  },
  {
    name: "silence is counted while not listening",
    edits: [
      edit(
        "membership/peers/FailureDetector.ts",
        "listeningSince === undefined || hello === undefined",
        "hello === undefined"
      ),
      edit(
        "membership/peers/FailureDetector.ts",
        "Math.max(changedAt, listeningSince, hello)",
        "Math.max(changedAt, hello)"
      )
    ],
    found: "the store away for all"
  }
]
