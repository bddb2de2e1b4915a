/** The pages of cases, by address. */
import type { ReactNode } from 'react';
import { Route, Switch } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { CasePage } from './case.js';
import { CasesPage } from './cases.js';
import { PresentPage } from './present.js';

export function CaseViews({ me }: { readonly me: Me }): ReactNode {
  return (
    <Switch>
      <Route path={/^\/cases\/(?<id>c-[0-9a-z]{10})\/present$/}>{({ id = '' }) => <PresentPage key={id} id={id} />}</Route>
      <Route path={/^\/cases\/(?<id>c-[0-9a-z]{10})$/}>{({ id = '' }) => <CasePage key={id} id={id} me={me} />}</Route>
      <Route>
        <CasesPage me={me} />
      </Route>
    </Switch>
  );
}
