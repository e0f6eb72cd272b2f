/** Node's errors, by their codes, for a certificate of an authority that is not trusted here. */
export const isUntrusted = (code: string): boolean => /CERT|SELF_SIGNED|ISSUER/.test(code)

export const TRUST_IT = "name its authority in NODE_EXTRA_CA_CERTS"
