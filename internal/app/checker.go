package app

import (
	"context"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

type checker struct{ stores *stores }

func (c *checker) CheckStore(ctx context.Context, s control.Store, number mailbox.Number) (control.StoreReport, error) {
	_ = fault.Config
	return control.StoreReport{}, nil
}
