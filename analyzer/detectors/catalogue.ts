/**
 * Reports the rules in force to the authority (`steno rules ls`), each with its hits and its cost.
 *
 * Each analyzer that follows sessions reports. It sends every rule when its part changes and when different rules come into force; later it
 * sends only rules whose numbers changed by more than a tenth, so an idle analyzer writes nothing. Tested in catalogue.test.ts.
 */
import { REPORTED_RULES, reportCatalogue } from '#schemas/api/detection/rule-catalogue.js';
import type { CatalogueReport } from '#schemas/api/detection/rule-catalogue.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { RuleFacts } from '../detection/detector.js';
import type { MeteredDetector } from './metered.js';

export interface CatalogueParts {
  readonly detectors: readonly MeteredDetector[];
  readonly version: (rule: string) => number;
  readonly isKept: (rule: string) => boolean;
}

/** Detectors whose rules are Sigma documents; the rules of other detectors are programs. */
const sigmaDetectors: ReadonlySet<string> = new Set(['sigma', 'lines', 'correlation', 'correlation-across']);

/** A rule that several detectors evaluate (`sigma` and `lines`) appears once, under the first. */
export function catalogueOf({ detectors, version, isKept }: CatalogueParts): readonly CatalogueReport[] {
  const found = new Map<string, CatalogueReport>();
  for (const detector of detectors)
    for (const rule of detector.rules) {
      const of = oneOf(detector, rule);
      const before = found.get(rule.id);
      if (before !== undefined) {
        found.set(rule.id, { ...before, hits: before.hits + of.hits, cost_ms: before.cost_ms + of.cost_ms });
        continue;
      }
      const isProgram = !sigmaDetectors.has(detector.name) && !(detector.name === 'purpose' && !rule.id.startsWith('steno/'));
      const origin = isProgram ? 'program' : isKept(rule.id) ? 'kept' : 'file';
      found.set(rule.id, { ...of, version: version(rule.id), origin });
    }
  return [...found.values()];
}

function oneOf(detector: MeteredDetector, rule: RuleFacts): Omit<CatalogueReport, 'version' | 'origin'> {
  const { id, title, severity, tier, techniques } = rule;
  const alone = detector.cost(id);
  return {
    ...{ id: id.slice(0, 1024), title: title.slice(0, 256) || id.slice(0, 256), severity, tier },
    techniques: techniques.filter((one) => /^T[0-9]{4}(\.[0-9]{3})?$/.test(one)).slice(0, 64),
    detector: detector.name,
    hits: detector.hits(id),
    observations: detector.observations,
    cost_ms: Math.round((alone ?? detector.ms) * 1_000) / 1_000,
    cost_shared_by: alone === undefined ? detector.rules.length : 1,
  };
}

export class CatalogueReporter {
  readonly #send: Send;
  /** The last report of each rule. Empty: everything has to be reported. */
  #told = new Map<string, CatalogueReport>();
  #reporting: Promise<void> = Promise.resolve();

  constructor(send: Send) {
    this.#send = send;
  }

  /** The next report starts over: different rules are in force, or the authority may have forgotten the last report. */
  reset(): void {
    this.#told = new Map();
  }

  /** Reports are serialized. Rejects with the authority's refusal; the next report then starts over. */
  report(rules: readonly CatalogueReport[]): Promise<void> {
    this.#reporting = this.#reporting.catch(() => undefined).then(() => this.#report(rules));
    return this.#reporting;
  }

  async #report(rules: readonly CatalogueReport[]): Promise<void> {
    const told = this.#told;
    const begins = told.size === 0;
    const changed = begins ? rules : rules.filter((rule) => isNews(rule, told.get(rule.id)));
    try {
      for (let from = 0; from < changed.length; from += REPORTED_RULES) {
        const page = changed.slice(from, from + REPORTED_RULES);
        await call(this.#send, reportCatalogue, { body: { begins: begins && from === 0, rules: page } });
        for (const rule of page) told.set(rule.id, rule);
      }
    } catch (error) {
      if (this.#told === told) this.reset();
      throw error;
    }
  }
}

function isNews(now: CatalogueReport, before: CatalogueReport | undefined): boolean {
  return (
    before === undefined ||
    now.hits !== before.hits ||
    now.observations > before.observations * 1.1 ||
    now.cost_ms > before.cost_ms * 1.1 + 0.1
  );
}
