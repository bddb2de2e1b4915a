/** Identifies this machine, for code that must tell the loopback addresses of several machines apart. */
import { readFileSync } from 'node:fs';

let known: string | undefined;

/** The kernel's boot id: new at each boot of the machine, shared by all its containers. '' if unavailable. */
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
