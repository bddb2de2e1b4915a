/**
 * Facts about a session from the event store, other than its screen and its files: forwardings, participants, gaps. Each row seeks to
 * its moment.
 */
import type { ReactNode } from 'react';
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import { TableHead } from '../parts/basics.js';
import { bytes, clock } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';

type Values = Readonly<Record<string, unknown>>;

export const valuesOf = (fact: SessionFact): Values => (typeof fact.data === 'object' && fact.data !== null ? (fact.data as Values) : {});
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '');
export const MAX_ROWS = 500;

const gapText: Readonly<Record<string, string>> = {
  body_limit: 'The stream went over its limit; the rest is known by its length and digest',
  input_discarded: 'Typed while the session was frozen: discarded, and never sent to the node',
  input_not_echoed: 'Typed input that the terminal did not show, such as a password',
  recorder_failed: 'The recorder could not write',
  interrupted: 'The gateway died; the recording was closed by its successor',
  file_operations: 'More file operations than the recorder follows at a time',
  kernel_events: "Events of the node's kernel that are not in the event log",
  audit_events: 'Audit rows of the session that could not be sent, kept beside the spool of its gateway',
};

export function Facts({ facts, onSeek }: { readonly facts: readonly SessionFact[]; readonly onSeek: (ms: number) => void }): ReactNode {
  const forwards = facts.filter(
    ({ kind, data }) => (kind === 'forward' && (data as Values)['outcome'] !== 'closed') || kind === 'listen' || kind === 'connect',
  );
  const people = facts.filter(({ kind }) => kind === 'participant');
  const gaps = facts.filter(({ kind }) => kind === 'gap');
  if (forwards.length + gaps.length + people.length === 0) return null;
  return (
    <>
      {forwards.length > 0 && (
        <Table title="Forwardings" heads={['At', 'What', 'Address']} count={forwards.length}>
          {forwards.slice(0, MAX_ROWS).map((fact, i) => {
            const v = valuesOf(fact);
            return (
              <tr key={i}>
                <At fact={fact} onSeek={onSeek} />
                <td>
                  <SafeText text={[fact.kind, textOf(v['name'])].filter((text) => text !== '').join(' ')} />
                </td>
                <td className="mono path">
                  <SafeText text={`${textOf(v['address'])}${textOf(v['port']) === '' ? '' : `:${textOf(v['port'])}`}`} />
                </td>
              </tr>
            );
          })}
        </Table>
      )}
      {people.length > 0 && (
        <Table title="Participants" heads={['At', 'Who', 'What', 'From']} count={people.length}>
          {people.slice(0, MAX_ROWS).map((fact, i) => {
            const v = valuesOf(fact);
            return (
              <tr key={i}>
                <At fact={fact} onSeek={onSeek} />
                <td>
                  <SafeText text={textOf(v['name'])} />
                </td>
                <td>
                  <SafeText text={[textOf(v['reason']), textOf(v['mode'])].filter((text) => text !== '').join(' as ')} />
                </td>
                <td className="mono">
                  <SafeText text={textOf(v['address'])} />
                </td>
              </tr>
            );
          })}
        </Table>
      )}
      {gaps.length > 0 && (
        <Table title="Not in the recording" heads={['At', 'Reason', 'Size']} count={gaps.length}>
          {gaps.slice(0, MAX_ROWS).map((fact, i) => {
            const v = valuesOf(fact);
            const size = typeof v['bytes'] === 'number' ? v['bytes'] : v['size'];
            return (
              <tr key={i}>
                <At fact={fact} onSeek={onSeek} />
                <td>{gapText[textOf(v['reason'])] ?? <SafeText text={textOf(v['reason'])} />}</td>
                <td className="number">
                  {typeof size === 'number' ? bytes(size) : typeof v['count'] === 'number' ? `${v['count']}` : '–'}
                </td>
              </tr>
            );
          })}
        </Table>
      )}
    </>
  );
}

export function Table({
  title,
  heads,
  count,
  children,
}: {
  readonly title: string;
  readonly heads: readonly string[];
  readonly count: number;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <section className="facts">
      <h2>
        {title} <span className="count">{count > MAX_ROWS ? `first ${MAX_ROWS} of ${count}` : count}</span>
      </h2>
      <div className="scroll">
        <table>
          <TableHead titles={heads} numbers={['Size']} />
          <tbody>{children}</tbody>
        </table>
      </div>
    </section>
  );
}

export function At({ fact, onSeek }: { readonly fact: Pick<SessionFact, 'offset'>; readonly onSeek: (ms: number) => void }): ReactNode {
  return (
    <td className="at">
      <button type="button" className="seek" onClick={() => onSeek(fact.offset)} aria-label={`Show the moment at ${clock(fact.offset)}`}>
        {clock(fact.offset)}
      </button>
    </td>
  );
}
