/** Agreements between the gateway and the page's SSH client beyond the protocol. Decision 0129. */

/** The client's software version (RFC 4253 section 4.2), which recordings show as `client_version`. */
export const PAGE_IDENT = 'Steno_page';
/** Channel request of the gateway to this client, without a reply: `string` id of the session's recording. */
export const SESSION_REQUEST = 'session@steno';
/**
 * Global request of the gateway to this client, without a reply, repeated when roles change: `string` name of the connection, `string`
 * secret to resume it, `uint32` seconds for which the gateway waits if the network is lost (0: not at all). Decision 0165.
 */
export const RECONNECT_REQUEST = 'reconnect@steno';
