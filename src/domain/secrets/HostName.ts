/** A host as lists and addresses write it: lower case, no brackets, no trailing dot. */
export const normaliseHost = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
