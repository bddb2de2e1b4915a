/** Routes the pages of sessions: one session, joining one, and the list, which is also the start page. */
import type { ReactNode } from 'react';
import { Route, Switch } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { sessionAddress } from '../parts/opening.js';
import { JoinPage } from './join.js';
import { SessionPage } from './session.js';
import { SessionsPage } from './sessions.js';

export const sessionsAddress = /^\/(?:(?:sessions|sign-in)?|sessions\/[0-9a-z]{26}|join\/[^/]+)$/;

export function SessionViews({ me }: { readonly me: Me }): ReactNode {
  return (
    <Switch>
      <Route path={sessionAddress}>{({ id = '' }) => <SessionPage key={id} id={id} me={me} />}</Route>
      <Route path="/join/:id">{({ id = '' }) => <JoinPage id={id} user={me.user} />}</Route>
      <Route>
        <SessionsPage me={me} />
      </Route>
    </Switch>
  );
}
