package pdu

import "fmt"

// LoginStatus is the outcome of a login: class in the high byte, detail in the
// low one, §11.13.5.
type LoginStatus uint16

// Login statuses.
const (
	LoginSuccess LoginStatus = 0x0000

	LoginMovedTemporarily LoginStatus = 0x0101
	LoginMovedPermanently LoginStatus = 0x0102

	LoginInitiatorError       LoginStatus = 0x0200
	LoginAuthenticationFailed LoginStatus = 0x0201
	LoginAuthorizationFailed  LoginStatus = 0x0202
	LoginTargetNotFound       LoginStatus = 0x0203
	LoginTargetRemoved        LoginStatus = 0x0204
	LoginUnsupportedVersion   LoginStatus = 0x0205
	LoginTooManyConnections   LoginStatus = 0x0206
	LoginMissingParameter     LoginStatus = 0x0207
	LoginCannotInclude        LoginStatus = 0x0208
	LoginSessionTypeRefused   LoginStatus = 0x0209
	LoginNoSession            LoginStatus = 0x020a
	LoginInvalidRequest       LoginStatus = 0x020b

	LoginTargetError        LoginStatus = 0x0300
	LoginServiceUnavailable LoginStatus = 0x0301
	LoginOutOfResources     LoginStatus = 0x0302
)

var loginStatusNames = map[LoginStatus]string{
	LoginSuccess:              "success",
	LoginMovedTemporarily:     "target moved temporarily",
	LoginMovedPermanently:     "target moved permanently",
	LoginInitiatorError:       "initiator error",
	LoginAuthenticationFailed: "authentication failure",
	LoginAuthorizationFailed:  "authorization failure",
	LoginTargetNotFound:       "target not found",
	LoginTargetRemoved:        "target removed",
	LoginUnsupportedVersion:   "unsupported version",
	LoginTooManyConnections:   "too many connections",
	LoginMissingParameter:     "missing parameter",
	LoginCannotInclude:        "cannot include in session",
	LoginSessionTypeRefused:   "session type not supported",
	LoginNoSession:            "session does not exist",
	LoginInvalidRequest:       "invalid request during login",
	LoginTargetError:          "target error",
	LoginServiceUnavailable:   "service unavailable",
	LoginOutOfResources:       "out of resources",
}

// Login status classes.
const (
	LoginClassSuccess     uint8 = 0
	LoginClassRedirection uint8 = 1
	LoginClassInitiator   uint8 = 2 // do not retry as is
	LoginClassTarget      uint8 = 3 // retry later
)

// Class returns the status class.
func (s LoginStatus) Class() uint8 { return uint8(s >> 8) }

// Detail returns the status detail.
func (s LoginStatus) Detail() uint8 { return uint8(s) }

// String prints the name and the four hex digits that every other tool shows.
func (s LoginStatus) String() string {
	if name, ok := loginStatusNames[s]; ok {
		return fmt.Sprintf("%s (%04x)", name, uint16(s))
	}
	return fmt.Sprintf("status (%04x)", uint16(s))
}
