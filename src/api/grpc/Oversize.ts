/** What is too large for a gRPC message, which would end its stream: left out, and counted in the next item's `missed`. */

/** 16 MiB of a frame, and what stands around it. */
export const GRPC_MESSAGE_MAX_BYTES = 17 * 1024 * 1024

/** The encoder of one stream: undefined for an item that cannot be carried. */
export const counting = <Item extends { readonly missed: number }>(
  encode: (item: Item) => Buffer
): ((item: Item) => Buffer | undefined) => {
  let missed = 0
  return (item) => {
    const encoded = encode(missed === 0 ? item : { ...item, missed: item.missed + missed })
    if (encoded.length > GRPC_MESSAGE_MAX_BYTES) {
      missed += item.missed + 1
      return undefined
    }
    missed = 0
    return encoded
  }
}
