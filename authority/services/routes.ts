/**
 * Routes of services: tokens and removal for users who administer everything, joining for holders of a token.
 *
 * A gateway certifies sessions for everybody and a viewer reads every recording: admitting one is equivalent to having every
 * role, so no narrower right permits it. Tested in services.test.ts and removal.test.ts.
 */
import {
  checkHealth,
  createServiceToken,
  deleteServiceToken,
  joinService,
  listServices,
  listServiceTokens,
  removeService,
  returnService,
  setIngest,
} from '#schemas/api/services/services.js';
import type { ServiceTokenCreated } from '#schemas/api/services/services.js';
import { StenoError } from '#schemas/base/errors.js';
import { auditRow } from '../records/audit.js';
import { forgetRuleCounts } from '../records/detection/rule-counts.js';
import { putRemovedService } from './removed.js';
import { forgetHolder } from '../inventory/nodes/records.js';
import { deleteToken, newJoinToken, pinsOf, purgeTokens } from '../records/join-tokens.js';
import type { Ca } from '../ca/ca.js';
import { SERVICE_TTL_MS } from '../ca/certificates.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { claimedService } from './joining.js';
import type { ServiceJoining, ServiceJoiningParts } from './joining.js';
import { insertServiceToken, joinedServices, liveServiceTokens, removeJoinedService } from './records.js';

const MAX_TOKENS = 1_000;
/** Clock skew allowed for services. */
const CLOCKS_MS = 600_000;

export interface ServiceRouteParts extends Pick<ServiceJoiningParts, 'records' | 'clock' | 'changed'> {
  readonly ca: Ca;
  readonly setIngest: (urls: readonly string[]) => void;
}

export function serviceRoutes(parts: ServiceRouteParts, joining: ServiceJoining): readonly Route[] {
  const { ca, records, clock, changed } = parts;
  return [
    handle(checkHealth, async () => undefined),
    handle(listServiceTokens, () => records.read((db) => liveServiceTokens(db, clock()))),
    handle(createServiceToken, async ({ caller, principal, body }) => {
      // Its certificate is a node's, whichever node it names.
      if (body.kind === 'agent' && principal.kind !== 'owner')
        throw new StenoError(
          'ACCESS_DENIED',
          'tokens of kind agent are made by the owner of the machine; other machines join by tokens of nodes',
        );
      const now = clock();
      const { id, token, publicKey } = newJoinToken();
      const record = {
        id,
        kind: body.kind,
        name: body.name,
        uses_left: body.uses,
        created_by: caller.actor,
        created_at: now,
        expires_at: now + body.ttl_ms,
      };
      const data = { kind: body.kind, name: body.name, uses: body.uses, expires_at: record.expires_at };
      await records.act([auditRow(now, caller, { event: 'service_token.create', target: id, data })], async (tx) => {
        await purgeTokens(tx, 'service_tokens', now);
        if ((await liveServiceTokens(tx, now)).length >= MAX_TOKENS) throw new StenoError('TOO_MANY', 'service tokens');
        await insertServiceToken(tx, record, publicKey);
      });
      const created: ServiceTokenCreated = {
        ...record,
        token,
        ca_pins: pinsOf(ca.trust.service_ca.join('')),
      };
      return created;
    }),
    handle(deleteServiceToken, async ({ caller }, { id }) => {
      await records.act([auditRow(clock(), caller, { event: 'service_token.delete', target: id })], async (tx) => {
        if (!(await deleteToken(tx, 'service_tokens', id))) throw new StenoError('NOT_FOUND', `service token ${id}`);
      });
    }),

    handle(listServices, () => records.read(joinedServices)),
    handle(removeService, async ({ caller }, { kind, name: service }) => {
      const now = clock();
      const target = `${kind}/${service}`;
      await records.act([auditRow(now, caller, { event: 'service.remove', target })], async (tx) => {
        const key = await removeJoinedService(tx, kind, service, now);
        if (key === undefined) throw new StenoError('NOT_FOUND', `service ${target}`);
        await putRemovedService(tx, target, key, now + SERVICE_TTL_MS + CLOCKS_MS);
        await forgetHolder(tx, target);
        await forgetRuleCounts(tx, target);
      });
      await changed();
    }),

    handle(
      joinService,
      ({ caller, body, channel }) => joining.join({ ...caller, actor: claimedService(body.request) }, body, channel()),
      ({ request }) => claimedService(request),
    ),
    handle(
      returnService,
      ({ caller, body, channel }) => joining.back({ ...caller, actor: claimedService(body.request) }, body, channel()),
      ({ request }) => claimedService(request),
    ),
    handle(setIngest, async ({ caller, body }) => {
      await records.audit([auditRow(clock(), caller, { event: 'ingest.set', target: body.url })]);
      parts.setIngest([body.url]);
    }),
  ];
}
