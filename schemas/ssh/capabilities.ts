/**
 * The capabilities of a node service beyond RFC 4254, announced once: the extension `capabilities@steno` of its EXT_INFO (RFC 8308
 * section 2.3), a list of names. The message is protected by the keys of the first exchange, so it comes from the holder of the
 * node's host key. Unknown names are ignored, as are extensions of peers that are not Steno; an older node service announces
 * nothing, and the gateway uses the older protocol with it. Tested in capabilities.test.ts.
 */
import { SshReader } from './wire.js';

export const CAPABILITIES = 'capabilities@steno';
/** Orders and reports of kernel recording are channel requests (../kernel/orders.ts). */
export const KERNEL_REQUESTS = 'kernel-requests';

/** The capabilities of this version's node service: name and value. */
export const NODE_EXTENSION = [CAPABILITIES, KERNEL_REQUESTS] as const;

const MAX_EXTENSIONS = 64;
const MAX_LIST_BYTES = 4096;

/** Throws BAD_REQUEST for a malformed message. `payload`: EXT_INFO with its type. */
export function capabilitiesIn(payload: Uint8Array): ReadonlySet<string> {
  const reader = new SshReader(payload, 'BAD_REQUEST');
  reader.byte('the type');
  const count = reader.uint32('the number of extensions');
  if (count > MAX_EXTENSIONS) reader.fail(`there are more than ${MAX_EXTENSIONS} extensions`);
  const found = new Set<string>();
  for (let i = 0; i < count; i++) {
    if (reader.utf8('an extension') !== CAPABILITIES) reader.string('its value');
    else for (const name of reader.nameList('the capabilities', MAX_LIST_BYTES)) found.add(name);
  }
  reader.end('the extensions');
  return found;
}
