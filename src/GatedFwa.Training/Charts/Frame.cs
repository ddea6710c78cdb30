namespace GatedFwa.Training.Charts;

/// <summary>A rectangle of a picture, in pixels from its upper left corner.</summary>
internal readonly record struct Frame(double Left, double Top, double Width, double Height)
{
    public double Right => Left + Width;

    public double Bottom => Top + Height;
}
