package main

import (
	"context"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
)

// articleRecipe is what people do by hand today. It shows that the judge can
// fail a set-up.
type articleRecipe struct {
	lab *lab.Lab
}

// window is long: IPv6 comes back only after duplicate address detection.
func (a *articleRecipe) window() time.Duration { return 4 * time.Second }

func (a *articleRecipe) move(ctx context.Context) error { return lab.Article(ctx, a.lab) }

func (a *articleRecipe) settle(context.Context) error { return nil }

func (a *articleRecipe) repeat(context.Context) string {
	return "the article's steps have no way to tell"
}

func (a *articleRecipe) close() error { return nil }
