/** SIEM forwarding: for each destination, how much was delivered, how much is waiting and since when, and why delivery fails. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { SiemReport } from '#schemas/api/recordings/status.js';
import { Empty, Failure, TableHead, useTitle } from '../parts/basics.js';
import { duration, numbered } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { SectionHead, auditSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';

/** The counts of destinations are updated every ten seconds. */
const EVERY_MS = 5_000;

const states: Readonly<Record<SiemReport['state'], string>> = {
  waiting: 'has not begun',
  sending: 'sending',
  failing: 'failing',
  elsewhere: 'sent by another analyzer',
};

export function SiemPage(): ReactNode {
  useTitle('Sent to a SIEM');
  const { data, error } = useAnswer('GET /api/status', {}, EVERY_MS);
  const destinations = data?.analysis?.siem ?? [];
  return (
    <section className="page">
      <SectionHead title="Sent to a SIEM" here="/audit/siem" sections={auditSections} />
      <p className="page-about">
        Destinations that receive everything stored here. <Link to="/audit?event=siem.">Changes of destinations, in the audit log</Link>
      </p>
      {error !== null && <Failure error={error} />}
      {data !== null && data.analysis === null && (
        <Empty title="Nothing is known here">
          <p>No analyzer runs beside this viewer, or you may not view every session. The metrics of the analyzer tell the same.</p>
        </Empty>
      )}
      {data !== null && data.analysis !== null && destinations.length === 0 && (
        <Empty title="There are no destinations">
          <p>
            <code>steno apply -f</code> makes one from a document of the kind <code>siem</code>.
          </p>
        </Empty>
      )}
      {destinations.length > 0 && <SiemTable destinations={destinations} />}
    </section>
  );
}

export function SiemTable({ destinations }: { readonly destinations: readonly SiemReport[] }): ReactNode {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Destinations">
      <table className="audit">
        <TableHead
          titles={['Destination', 'Format', 'State', 'Delivered', 'Refused', 'Waiting', 'Lag', 'Reason']}
          numbers={['Delivered', 'Refused', 'Waiting', 'Lag']}
        />
        <tbody>
          {destinations.map((one) => (
            <tr key={one.name} className={one.state === 'failing' ? 'failed' : undefined}>
              <th scope="row">
                <SafeText text={one.name} />
              </th>
              <td>{one.format}</td>
              <td>{states[one.state]}</td>
              <td className="number">{numbered(one.sent, 'row')}</td>
              <td className="number">{one.refused === 0 ? '' : numbered(one.refused, 'row')}</td>
              <td className="number">{one.waiting === 0 ? '' : numbered(one.waiting, 'row')}</td>
              <td className="number">{one.waiting === 0 ? 'none' : duration(one.lag_ms)}</td>
              <td>
                <SafeText text={one.error} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
