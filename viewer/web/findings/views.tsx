/** What was found, and the rules that find it. */
import type { ReactNode } from 'react';
import { Route, Switch } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { FindingsPage } from './findings.js';
import { RulesPage } from './rules.js';

export function FindingViews({ me }: { readonly me: Me }): ReactNode {
  return (
    <Switch>
      <Route path="/rules">
        <RulesPage />
      </Route>
      <Route>
        <FindingsPage me={me} />
      </Route>
    </Switch>
  );
}
