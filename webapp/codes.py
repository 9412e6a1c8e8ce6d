"""What each error code means: for the page to which every problem document points, and for the API's document."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from webapp.errors import ErrorCode

CODES: dict[ErrorCode, str | Promise] = {
    ErrorCode.INVALID: _("A value is missing or not allowed. The answer names the field: correct it and send again."),
    ErrorCode.NOT_AUTHENTICATED: _("There is no valid key. Send “Authorization: Bearer” with a key of yours."),
    ErrorCode.KEY_EXPIRED: _("The key's last day is over. Make a new one on the organisation's page."),
    ErrorCode.KEY_REVOKED: _("The key was revoked. Make a new one on the organisation's page."),
    ErrorCode.SCOPE_MISSING: _("The key may not do this. Make one with the scope that the answer names."),
    ErrorCode.FORBIDDEN: _("Your role does not allow this. Ask an owner of the organisation."),
    ErrorCode.NOT_FOUND: _("There is nothing of that id, or it is not yours to see."),
    ErrorCode.METHOD_NOT_ALLOWED: _("This address takes other methods; the header “Allow” names them."),
    ErrorCode.NOT_ACCEPTABLE: _("The answer is JSON; the header “Accept” must allow it."),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: _("Send multipart/form-data or JSON, as the schema says."),
    ErrorCode.CONFLICT: _("The thing is not in a state that allows this. Read it again first."),
    ErrorCode.GONE: _("It is over: the time in which this was possible has passed."),
    ErrorCode.RATE_LIMITED: _("Too much in too short a time. Wait for the seconds that “Retry-After” names."),
    ErrorCode.QUOTA_EXCEEDED: _("The organisation's storage is full. Delete pictures or ask for more."),
    ErrorCode.FILE_MISSING: _("No file came with the request. Choose one, or name the field as the schema says."),
    ErrorCode.FILE_EMPTY: _("The file has no bytes. Choose another or save it again."),
    ErrorCode.FILE_TOO_LARGE: _("The file is larger than allowed. Make it smaller."),
    ErrorCode.TOO_MANY_FILES: _("More files than allowed at once. Send them in parts."),
    ErrorCode.PICTURE_UNREADABLE: _("The file is not a picture that we can read. Save it as JPEG or PNG."),
    ErrorCode.ARCHIVE_UNREADABLE: _("The archive is damaged or no ZIP. Make it anew."),
    ErrorCode.ARCHIVE_ENCRYPTED: _("The archive has a password. Make one without."),
    ErrorCode.ARCHIVE_TOO_LARGE: _("The archive holds or unpacks to more than allowed. Split it."),
    ErrorCode.ARCHIVE_UNSAFE_PATH: _("A name in the archive leads out of it. Make it from a plain folder."),
    ErrorCode.ARCHIVE_NESTED: _("An archive lies in the archive. Unpack it first."),
    ErrorCode.CSV_UNREADABLE: _("The table could not be read. Save it as CSV in UTF-8."),
    ErrorCode.CSV_MISSING_FILE: _("The table names a file that was not uploaded."),
    ErrorCode.GENERATOR_UNAVAILABLE: _(
        "The models that generate pictures are not here, or not those that made the work. The answer names them."
    ),
    ErrorCode.CANNOT_BE_SIGNED: _("The picture has no room for a signature, or is too simple to bind one to it."),
    ErrorCode.SIGNATURES_UNAVAILABLE: _("The networks that write and read signatures are not here. Try later."),
    ErrorCode.PRIVATE_UNAVAILABLE: _("Private catalogues cannot be asked here now. The answer says what is missing."),
    ErrorCode.IDEMPOTENCY_BUSY: _("The same write is under way. Ask again after “Retry-After”."),
    ErrorCode.IDEMPOTENCY_MISMATCH: _("This Idempotency-Key was used with other content. Use a new one."),
    ErrorCode.WORKER_LOST: _("The program that did the work was stopped each time. Try again."),
    ErrorCode.CANCELLED: _("It was cancelled as asked."),
    ErrorCode.INTERNAL: _("Something went wrong on our side. It has been noted; try again later."),
}
