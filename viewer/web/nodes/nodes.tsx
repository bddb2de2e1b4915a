/** The nodes that the user may reach, each with the logins that the user's roles allow, and a button that opens a terminal. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { TerminalNode } from '#schemas/api/people/terminals.js';
import { Empty, Failure, useTitle } from '../parts/basics.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import './nodes.css';

const REFRESH_MS = 10_000;
/** Use the filter to find more. */
const SHOWN = 200;
/** Same as `isLogin` in schemas/base/identity.ts; the authority decides. */
const LOGIN = '[a-z_][a-z0-9_.\\-]{0,31}';

export function NodesPage(): ReactNode {
  useTitle('Nodes');
  const [wanted, setWanted] = useState('');
  const { data, error } = useAnswer('GET /api/terminal/nodes', {}, REFRESH_MS);
  const found = (data ?? []).filter((node) => matches(node, wanted.trim().toLowerCase()));
  return (
    <section className="page nodes-page">
      <div className="page-head">
        <h1>Nodes</h1>
        {data !== null && data.length > 0 && <span className="note">{data.length === 1 ? '1 node' : `${data.length} nodes`}</span>}
      </div>
      {error !== null && <Failure error={error} />}
      {data !== null && data.length > 0 && (
        <label className="field node-filter">
          <span>Name or label</span>
          <input type="search" value={wanted} maxLength={200} onChange={(event) => setWanted(event.target.value)} />
        </label>
      )}
      {data !== null && found.length === 0 && (
        <Empty title={data.length === 0 ? 'No node to reach' : 'No node matches'}>
          <p>
            {data.length === 0 ? (
              <>
                None of your roles allows a login on a node. <Link to="/requests">Ask for a role</Link>, or ask an administrator.
              </>
            ) : (
              'Loosen the filter.'
            )}
          </p>
        </Empty>
      )}
      <ul className="nodes">
        {found.slice(0, SHOWN).map((node) => (
          <Node key={node.name} node={node} />
        ))}
      </ul>
      {found.length > SHOWN && (
        <p className="note">
          The first {SHOWN} of {found.length}. Filter for the others.
        </p>
      )}
    </section>
  );
}

function matches({ name, labels }: TerminalNode, wanted: string): boolean {
  return (
    wanted === '' ||
    name.includes(wanted) ||
    Object.entries(labels).some(([label, value]) => `${label}=${value}`.toLowerCase().includes(wanted))
  );
}

const stateWords = { live: 'Connected', gone: 'Not connected', agentless: 'OpenSSH server' } as const;

function Node({ node: { name, labels, logins, state } }: { readonly node: TerminalNode }): ReactNode {
  const any = logins.includes('*');
  const named = logins.filter((login) => login !== '*');
  const [login, setLogin] = useState(named[0] ?? '');
  const usable = new RegExp(`^${LOGIN}$`).test(login);
  return (
    <li className="node">
      <div className="node-name">
        <strong>
          <SafeText text={name} />
        </strong>
        <span className="node-state" data-state={state}>
          {stateWords[state]}
        </span>
      </div>
      <div className="node-labels">
        {Object.entries(labels).map(([label, value]) => (
          <span key={label} className="node-label">
            <SafeText text={`${label}=${value}`} />
          </span>
        ))}
      </div>
      <div className="node-open">
        <label>
          <span className="sr">Login on {name}</span>
          {any ? (
            <input
              value={login}
              list={`logins-${name}`}
              maxLength={32}
              placeholder="login"
              autoCapitalize="none"
              spellCheck={false}
              onChange={(event) => setLogin(event.target.value)}
            />
          ) : (
            <select value={login} onChange={(event) => setLogin(event.target.value)}>
              {named.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          )}
        </label>
        {any && (
          <datalist id={`logins-${name}`}>
            {named.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
        )}
        {usable ? (
          <Link to={`/terminal${queryText({ node: name, login })}`} className="node-go">
            Open terminal
          </Link>
        ) : (
          <span className="node-go" aria-disabled="true">
            Open terminal
          </span>
        )}
      </div>
    </li>
  );
}
