/** Whether the placeholders of a text name something that can be filled in. */
import { isSecretName } from "../secrets/SecretName.js"
import { fillTemplate, parseHeaderValue, parseTemplate, type Template } from "../Templates.js"
import { type Checked, every, ok, printable, refuse } from "./Check.js"

const NO_CAPTURES: ReadonlySet<string> = new Set()

/** `captures` are the names that earlier steps set. */
export const checkTemplate = (field: string, text: string, captures = NO_CAPTURES): Checked<void> =>
  checkParts(field, parseTemplate(text), captures)

/** As `checkTemplate`, for a header's value, which as a whole may also be `secret:NAME`. */
export const checkHeaderTemplate = (field: string, value: string): Checked<void> =>
  checkParts(field, parseHeaderValue(value), NO_CAPTURES)

const checkParts = (field: string, template: Template, captures: ReadonlySet<string>): Checked<void> =>
  every(template, (part) => {
    if (part.kind === "secret" && !isSecretName(part.name)) {
      return refuse(field, `${printable(part.name)} is no name of a secret`)
    }
    if (part.kind === "capture" && !captures.has(part.name)) {
      return refuse(field, `\${capture:${printable(part.name)}} is set by no earlier step`)
    }
    return ok
  })

/** The text with `value` for each placeholder: for what is parsed before anything is filled in. */
export const withoutPlaceholders = (text: string, value: string): string =>
  fillTemplate(parseTemplate(text), () => value)
