/** The page runs its own script and style sheet and speaks to its own server: nothing else, from nowhere. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "font-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** For what is opened by itself, such as a picture in a tab of its own. */
export const sandboxPolicy = "default-src 'none'; sandbox; frame-ancestors 'none'";

/** On every answer, whatever it is. @param isHostPinned whether browsers are told to insist on TLS: only with a certificate that people trust */
export function securityHeaders(isHostPinned: boolean): Readonly<Record<string, string>> {
  return {
    'content-security-policy': contentSecurityPolicy,
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy':
      'accelerometer=(), camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), usb=()',
    'cache-control': 'no-store',
    ...(isHostPinned && { 'strict-transport-security': 'max-age=31536000' }),
  };
}
