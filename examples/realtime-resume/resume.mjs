// Lets the channels of a realtime-js client go on where they were: after a disconnect each is told what it missed, and then what
// is new. Every change arrives once.

/**
 * -> the cursors of the client's channels by topic, `realtime:<name>`. Where they are kept, a program that starts anew gives one as
 * `since` beside `schema` and `table`, and goes on from there.
 */
export function resume({ realtime }) {
  const cursors = new Map()
  // Runs after the listeners of a message: what they have not seen is not counted as seen.
  realtime.socketAdapter.onMessage(({ topic, payload }) => {
    const channel = realtime.getChannels().find((channel) => channel.topic === topic)
    if (!channel || typeof payload?.cursor !== 'string') return
    cursors.set(topic, payload.cursor)
    joinSince(channel, payload.cursor)
  })
  return cursors
}

/** Sets what a channel says when it joins again. */
function joinSince(channel, since) {
  const { config } = channel.joinPush.payload()
  const postgres_changes = config.postgres_changes.map((change) => ({ ...change, since }))
  channel.updateJoinPayload({ config: { ...config, postgres_changes } })
}
