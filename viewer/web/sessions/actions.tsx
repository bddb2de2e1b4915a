/** What can be done with a session: invite, compare, verify, export. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Position } from '../cases/notes.js';
import { addressOf } from '../parts/endpoints.js';
import { VerifyPanel } from '../verify/panel.js';
import { InvitePanel } from './invite.js';

const formats = [
  ['html', 'One file that replays and verifies itself', 'opens in any browser, offline'],
  ['cast.zst', 'Recording with proof', 'verifies offline; zstd -d opens it'],
  ['cast', 'asciicast v3', 'for any asciinema player'],
  ['txt', 'Plain text', 'what scrolled over the screen'],
  ['json', 'JSON', 'facts and rendered lines'],
  ['events.csv', 'Events as CSV', 'for a spreadsheet'],
  ['events.ocsf', 'Events as OCSF', 'for a SIEM, one object a line'],
] as const;
const pictures = [
  ['png', 'Picture', 'the screen at this moment, as PNG'],
  ['svg', 'Picture with text', 'the same as SVG: its text can be selected'],
] as const;

export function Actions({ session, replay }: { readonly session: SessionInfo; readonly replay: Position | null }): ReactNode {
  const picture = (format: 'png' | 'svg', at: number): string =>
    addressOf('GET /api/sessions/:id/export', { params: { id: session.id }, query: { format, at } });
  return (
    <div className="actions">
      {session.live !== undefined && session.live.invite.length > 0 && <InvitePanel session={session} modes={session.live.invite} />}
      <Link className="act" to={`/sessions?compare=${session.id}`}>
        Compare
      </Link>
      <details className="menu" name="actions">
        <summary>Verify</summary>
        <div className="menu-body">
          <VerifyPanel session={session} />
        </div>
      </details>
      <details className="menu" name="actions">
        <summary>Export</summary>
        <div className="menu-body">
          {formats.map(([format, title, hint]) => (
            <a
              key={format}
              className="menu-item"
              href={addressOf('GET /api/sessions/:id/export', { params: { id: session.id }, query: { format } })}
              download={`${session.id}.${format}`}
            >
              <strong>{title}</strong>
              <span>{hint}</span>
            </a>
          ))}
          {replay !== null &&
            pictures.map(([format, title, hint]) => (
              <a
                key={format}
                className="menu-item"
                href={picture(format, 0)}
                download={`${session.id}.${format}`}
                // The moment is that of the click: the replay goes on while the menu is open.
                onClick={(event) => {
                  event.currentTarget.href = picture(format, Math.round(replay.position));
                }}
              >
                <strong>{title}</strong>
                <span>{hint}</span>
              </a>
            ))}
        </div>
      </details>
    </div>
  );
}
