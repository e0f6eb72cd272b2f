/** The credentials of a URL as a header: `fetch` takes no URL that holds them, and its error says the URL whole. */

export const withoutUserinfo = (text: string): { readonly url: string; readonly authorization: string | undefined } => {
  const url = new URL(text)
  const { password, username } = url
  if (username === "" && password === "") return { url: text, authorization: undefined }
  url.username = ""
  url.password = ""
  const authorization = `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64")}`
  return { url: url.href, authorization }
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
