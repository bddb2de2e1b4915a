/** Which machine this is, for who must tell loopback addresses of several machines apart. */
import { readFileSync } from 'node:fs';

let known: string | undefined;

/** The kernel's boot id: new with each start of the machine, and the same for all its containers. '' where there is none. */
export function machineId(): string {
  if (known === undefined) {
    try {
      known = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    } catch {
      known = '';
    }
  }
  return known;
}
