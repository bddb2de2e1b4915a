/**
 * What a node service understands beside RFC 4254, in words that it says once: the extension `capabilities@steno` of its
 * EXT_INFO (RFC 8308 section 2.3), a list of names. The message comes under the keys of the first exchange, hence from whoever
 * holds the node's host key. Names that a gateway does not know are ignored, as are extensions by peers that are not Steno; a
 * node service of before says nothing and is spoken to as before. Tested in capabilities.test.ts.
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
