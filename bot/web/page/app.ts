import { html, nothing, type TemplateResult } from 'lit-html';
import { actionSheet } from './action-sheet.ts';
import { alertsPage } from './alert-page.ts';
import { approvalPage, approvalsPage } from './approval-page.ts';
import { formDialog } from './form-view.ts';
import { frameView } from './frame.ts';
import { machinePage } from './machine-page.ts';
import { overviewView } from './overview.ts';
import type { Page } from './page.ts';
import { palette } from './palette.ts';
import { pictureDialog } from './picture-dialog.ts';
import { reportPage } from './report-page.ts';
import { signInPage } from './sign-in-page.ts';

/** The whole page for a state. `onCode`: somebody typed a code to sign in with. */
export function appView(page: Page, onCode: (code: string) => void): TemplateResult {
  if (page.state.route.kind === 'sign-in') return signInPage(page, onCode);
  return html`${frameView(page, contentView(page))} ${actionSheet(page)} ${formDialog(page)} ${palette(page)} ${pictureDialog(page)}`;
}

function contentView(page: Page): TemplateResult {
  const { route } = page.state;
  switch (route.kind) {
    case 'overview':
      return overviewView(page);
    case 'machine':
      return machinePage(page, route.name);
    case 'approvals':
      return approvalsPage(page);
    case 'approval':
      return approvalPage(page, route.id);
    case 'alerts':
      return alertsPage(page);
    case 'report':
      return reportPage(page);
    case 'unknown':
      return html`<h1>Not found</h1>
        <p>There is no page at <code>${route.path}</code>. <a href="/">To the overview</a></p>`;
    case 'sign-in':
      return html`${nothing}`;
    default:
      return route satisfies never;
  }
}
