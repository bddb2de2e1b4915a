/** Agreements between the gateway and the page's SSH client beyond the protocol. Decision 0129. */

/** The client's software version (RFC 4253 section 4.2), which recordings show as `client_version`. */
export const PAGE_IDENT = 'Steno_page';
/** Channel request of the gateway to this client, without a reply: `string` id of the session's recording. */
export const SESSION_REQUEST = 'session@steno';
