/** The errors of Node for a certificate that nobody here vouches for, by their codes. */
export const isUntrusted = (code: string): boolean => /CERT|SELF_SIGNED|ISSUER/.test(code)

export const TRUST_IT = "name its authority in NODE_EXTRA_CA_CERTS"
