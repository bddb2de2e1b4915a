/** Routes the list of nodes and the terminal. */
import { Suspense, lazy } from 'react';
import type { ReactNode } from 'react';
import { Route, Switch } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { NodesPage } from './nodes.js';

/** Loaded on first use, with the SSH client and xterm.js. */
const TerminalPage = lazy(async () => ({ default: (await import('../terminal/terminal.js')).TerminalPage }));

export const nodeAddress = /^\/(nodes|terminal)$/;

export function NodeViews({ me }: { readonly me: Me }): ReactNode {
  return (
    <Switch>
      <Route path="/terminal">
        <Suspense fallback={<div className="page" aria-busy="true" />}>
          <TerminalPage me={me} />
        </Suspense>
      </Route>
      <Route>
        <NodesPage />
      </Route>
    </Switch>
  );
}
