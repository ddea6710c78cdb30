namespace GatedFwa.Training.Optimizers;

/// <summary>A learning rate that rises in a straight line while warming up and then falls along half a cosine.</summary>
/// <param name="Peak">The highest rate.</param>
/// <param name="Final">The rate that the last step nearly reaches.</param>
/// <param name="WarmupSteps">Steps that it rises for.</param>
/// <param name="Steps">Steps in all.</param>
public readonly record struct LearningRateSchedule(double Peak, double Final, int WarmupSteps, int Steps)
{
    /// <summary>The rate of a step.</summary>
    /// <param name="step">The step, counted from 0.</param>
    public float At(int step)
    {
        if (step < WarmupSteps) return (float)(Peak * (step + 1) / WarmupSteps);
        double progress = Math.Min(1, (step - WarmupSteps) / (double)Math.Max(1, Steps - WarmupSteps));
        return (float)(Final + ((Peak - Final) * 0.5 * (1 + Math.Cos(Math.PI * progress))));
    }
}
