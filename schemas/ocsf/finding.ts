/**
 * A finding as an event of OCSF 1.5: class Detection Finding (2004). Pure.
 *
 * Tested in authority/webhooks/ocsf.test.ts and analyzer/siem/ocsf.test.ts.
 */
import type { FindingRow } from '../events/rows.js';

export const OCSF_VERSION = '1.5.0';
export const ocsfProduct = { name: 'Steno', vendor_name: 'Steno' } as const;

const ocsfSeverities: Readonly<Record<FindingRow['severity'], readonly [id: number, caption: string]>> = {
  info: [1, 'Informational'],
  low: [2, 'Low'],
  medium: [3, 'Medium'],
  high: [4, 'High'],
  critical: [5, 'Critical'],
};

export type OcsfFinding = Pick<
  FindingRow,
  'id' | 'rule' | 'rule_version' | 'severity' | 'techniques' | 'session' | 'user' | 'node' | 'login' | 'at'
> & { readonly title: string; readonly reason: string; readonly advice: string };

/** `link`: to the finding's page; null: none. `now`: ms since 1970. */
export function ocsfDetection(finding: OcsfFinding, message: string, link: string | null, now: number): object {
  const { id, rule, rule_version: version, severity, techniques, session, user, node, login, at, title, reason, advice } = finding;
  const [severity_id, caption] = ocsfSeverities[severity];
  return {
    ...{ category_uid: 2, category_name: 'Findings', class_uid: 2004, class_name: 'Detection Finding' },
    ...{ activity_id: 1, activity_name: 'Create', type_uid: 200_401, type_name: 'Detection Finding: Create' },
    ...{ severity_id, severity: caption, status_id: 1, status: 'New', time: at, message },
    metadata: { version: OCSF_VERSION, uid: id, logged_time: now, profiles: [], event_code: rule, product: ocsfProduct },
    finding_info: {
      ...{
        uid: id,
        title: title || rule,
        desc: reason,
        created_time: at,
        ...(link === null ? {} : { src_url: link }),
        types: ['Detection'],
      },
      analytic: { uid: rule, name: title || rule, type_id: 1, type: 'Rule', version: String(version) },
      attacks: techniques.map((uid) => ({ version: '18', technique: { uid, name: uid } })),
    },
    ...(advice === '' ? {} : { remediation: { desc: advice } }),
    ...(node === '' ? {} : { resources: [{ uid: node, name: node, type: 'Node' }] }),
    observables: [
      ['actor.user.name', user, 4],
      ['device.hostname', node, 1],
      ['session.uid', session, 10],
      ['actor.process.user.name', login, 4],
    ]
      .filter(([, value]) => value !== '')
      .map(([name, value, type_id]) => ({ name, value, type_id })),
  };
}
