/** Maps a rule's log source to the events to which it applies, or to what Steno lacks. Tested in sources.test.ts. */
import { auditd } from './auditd.js';
import { linuxSources } from './linux.js';
import type { Source } from './source.js';

export interface LogSource {
  readonly product: string | undefined;
  readonly category: string | undefined;
  readonly service: string | undefined;
}

export const sources: readonly Source[] = [...linuxSources, auditd];

/** A source, or a sentence about what is missing. */
export function sourceOf({ product, category, service }: LogSource): Source | { readonly missing: string } {
  if (product !== undefined && product !== 'linux') {
    return { missing: `log source ${said({ product, category, service })}: Steno's rules are about events of Linux nodes` };
  }
  if (service === 'auditd' && category === undefined && product === 'linux') return auditd;
  if (service !== undefined)
    return { missing: `log source ${said({ product, category, service })}: Steno collects no log of this service` };
  if (category === undefined) return { missing: `log source ${said({ product, category, service })}: Steno collects no log files` };
  const found = linuxSources.find(({ name }) => name === category);
  return found ?? { missing: `log source ${said({ product, category, service })}: Steno has no events of this category` };
}

/** `linux/process_creation`. */
export function said({ product, category, service }: LogSource): string {
  return [product, category, service].filter((part) => part !== undefined).join('/') || '(none)';
}
