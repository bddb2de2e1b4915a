/** The pages of findings: findings, response times, rules. */
import type { ReactNode } from 'react';
import { Route, Switch } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { FindingsPage } from './findings.js';
import { ResponsePage } from './response.js';
import { RulesPage } from './rules.js';

export function FindingViews({ me }: { readonly me: Me }): ReactNode {
  return (
    <Switch>
      <Route path="/rules">
        <RulesPage me={me} />
      </Route>
      {me.audit && (
        <Route path="/findings/response">
          <ResponsePage />
        </Route>
      )}
      <Route>
        <FindingsPage me={me} />
      </Route>
    </Switch>
  );
}
