/**
 * The kinds of resources that `steno get`, `apply`, `edit` and `rm` know: how each is got from the authority and given to
 * it. The form of each document is in runtime/resources/kinds.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { suggestion } from '#schemas/base/suggestion.js';
import { connectorResources } from './connectors.js';
import type { Resources } from './resource.js';
import { roleResources } from './roles.js';
import { siemResources } from './siem.js';
import { webhookResources } from './webhooks.js';

const all: readonly Resources[] = [roleResources, webhookResources, siemResources, connectorResources('oidc'), connectorResources('saml')];

/** For the help of verbs. */
export const kindsText = all.map(({ kind }) => kind).join(', ');

/** Throws USAGE. */
export function resourcesOf(word: string): Resources {
  const found = all.find(({ kind, also }) => kind === word || also.includes(word));
  if (found === undefined)
    throw new StenoError(
      'USAGE',
      `"${word}" is no kind of resource${suggestion(
        word,
        all.map(({ kind }) => kind),
      )}`,
    );
  return found;
}
